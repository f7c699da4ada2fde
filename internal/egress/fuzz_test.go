package egress

import (
	"net/netip"
	"testing"
)

// FuzzPermitted: no way to write an address permits one that is not public.
func FuzzPermitted(f *testing.F) {
	for _, seed := range []string{
		"127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[::ffff:10.0.0.1%eth0]:80", "[fe80::1%lo]:443", "169.254.169.254:80", "[64:ff9b::a9fe:a9fe]:80",
		"[2002:7f00:1::]:80", "0.0.0.0:80", "[::]:80", "1.1.1.1:443", "[2606:4700:4700::1111]:443", "[ff02::1]:1", "localhost:80", "2130706433:80",
	} {
		f.Add(seed)
	}
	private := Prefixes("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, text string) {
		ip, err := Address(text)
		if err != nil {
			return
		}
		inside := ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ip.Is4In6() || ip.Zone() != ""
		if inside && permits(Policy{}, ip) {
			t.Errorf("%s is permitted: %s", text, ip)
		}
		if want := private[0].Contains(ip); inside && permits(Policy{Allowed: private}, ip) != want {
			t.Errorf("%s is permitted where 10.0.0.0/8 is: %v, want %v", text, !want, want)
		}
		if mapped := netip.AddrFrom16(ip.As16()); permits(Policy{}, ip) != permits(Policy{}, mapped) {
			t.Errorf("%s and %s are not permitted alike", ip, mapped)
		}
	})
}

func permits(p Policy, address netip.Addr) bool { return p.Check("host:80", address) == nil }
