package source

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the file's format has it so
	"encoding/base64"
	"errors"
	"io"
	"net"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownKeys of one server. golang.org/x/crypto/ssh/knownhosts reads files only.
type knownKeys struct {
	address          string
	trusted, revoked []ssh.PublicKey
}

// parseKnownHosts reads what text in the format of OpenSSH's known_hosts says of
// the server at host:port.
func parseKnownHosts(address string, text []byte) (*knownKeys, error) {
	k := &knownKeys{address: knownhosts.Normalize(address)}
	for rest := text; ; {
		marker, hosts, key, _, next, err := ssh.ParseKnownHosts(rest)
		switch {
		case errors.Is(err, io.EOF):
			if len(k.trusted) == 0 {
				return nil, because(ReasonHostKeyUnknown, "the Secret's %s has no key of %s: add what ssh-keyscan prints, after checking it", keyKnownHosts, k.address)
			}
			return k, nil
		case err != nil:
			return nil, because(ReasonSecretInvalid, "the Secret's %s is not in the format of OpenSSH: %v", keyKnownHosts, err)
		}
		rest = next
		switch {
		case !matchesAny(hosts, k.address):
		case marker == "revoked":
			k.revoked = append(k.revoked, key)
		case marker == "":
			k.trusted = append(k.trusted, key)
		}
	}
}

// check implements ssh.HostKeyCallback.
func (k *knownKeys) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	is := func(other ssh.PublicKey) bool { return bytes.Equal(key.Marshal(), other.Marshal()) }
	if slices.ContainsFunc(k.trusted, is) && !slices.ContainsFunc(k.revoked, is) {
		return nil
	}
	return because(ReasonHostKeyUnknown, "%s shows the key %s, which the Secret's %s does not have: somebody may be in between", k.address, ssh.FingerprintSHA256(key), keyKnownHosts)
}

// algorithms to ask the server for: those of keys that are known.
func (k *knownKeys) algorithms() (list []string) {
	for _, key := range k.trusted {
		if key.Type() == ssh.KeyAlgoRSA {
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		list = append(list, key.Type())
	}
	return list
}

// matchesAny tells whether a line's patterns are of the address.
func matchesAny(patterns []string, address string) bool {
	matches := false
	for _, p := range patterns {
		pattern, negated := strings.CutPrefix(p, "!")
		if !matchesHost(pattern, address) {
			continue
		}
		if negated {
			return false
		}
		matches = true
	}
	return matches
}

func matchesHost(pattern, address string) bool {
	if hashed, ok := strings.CutPrefix(pattern, "|1|"); ok {
		salt, sum, _ := strings.Cut(hashed, "|")
		key, err := base64.StdEncoding.DecodeString(salt)
		if err != nil {
			return false
		}
		mac := hmac.New(sha1.New, key)
		mac.Write([]byte(address))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil)) == sum
	}
	if pattern == address {
		return true
	}
	// [host]:port has brackets, which are no pattern's here.
	escaped := strings.NewReplacer("[", `\[`, "]", `\]`).Replace(pattern)
	ok, err := path.Match(escaped, address)
	return err == nil && ok
}
