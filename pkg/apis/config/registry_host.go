package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// CanonicalRegistry spells host[:port] in one way, so that two spellings of a registry
// compare as equal: host names do not depend on case or on the dot at their end, ports
// may have zeros before them, an IPv4 address has forms of C's inet_aton and of IPv6, and
// 443 is the port of HTTPS.
func CanonicalRegistry(registry string) string {
	host, port := splitRegistry(strings.ToLower(registry))
	host = strings.TrimRight(host, ".")
	if ip, ok := parseIP(host); ok {
		host = ip.String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		port = strconv.FormatUint(n, 10)
	}
	if port == "" || port == "443" {
		return host
	}
	return host + ":" + port
}

// splitRegistry returns the host without brackets, and the port, which may be empty.
func splitRegistry(registry string) (host, port string) {
	if rest, ok := strings.CutPrefix(registry, "["); ok {
		host, port, _ = strings.Cut(rest, "]")
		return host, strings.TrimPrefix(port, ":")
	}
	if strings.Count(registry, ":") != 1 {
		return registry, ""
	}
	host, port, _ = strings.Cut(registry, ":")
	return host, port
}

// parseIP reads an address in any form that a resolver may take. An IPv4 address in IPv6
// is one of IPv4.
func parseIP(host string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone(""), true
	}
	return parseInetAton(host)
}

// parseInetAton reads an IPv4 address as POSIX's inet_aton does: one to four parts in
// decimal, octal (0…) or hexadecimal (0x…), of which the last fills what is left.
func parseInetAton(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := parseNumber(part)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if !ok || n >= 1<<bits {
			return netip.Addr{}, false
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func parseNumber(text string) (uint64, bool) {
	base := 10
	switch digits, hex := strings.CutPrefix(text, "0x"); {
	case hex:
		text, base = digits, 16
	case len(text) > 1 && text[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(text, base, 32)
	return n, err == nil
}
