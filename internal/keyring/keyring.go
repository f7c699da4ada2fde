// Package keyring holds the keys with which the operator proves what it has made:
// URLs that carry a message authentication code, and values that only the operator
// and one workload share.
package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

// Keys of the Secret's data.
const (
	// CurrentKey signs and verifies. It has KeySize bytes.
	CurrentKey = "key"
	// PreviousKey only verifies. It is set while keys are rotated.
	PreviousKey = "previous-key"
)

// KeySize is the size of a key in bytes.
const KeySize = 32

// macSize is the size of a code in bytes: 128 bits cannot be guessed and stay short in
// a URL.
const macSize = 16

// Purpose separates what codes are for: a code of one purpose verifies for no other.
type Purpose string

// Keyring signs with its current key and verifies with its current and its previous
// key. It is immutable.
type Keyring struct{ current, previous []byte }

// New returns the keyring of a Secret's data. It returns an error if a key has another
// size than KeySize.
func New(data map[string][]byte) (*Keyring, error) {
	k := &Keyring{current: data[CurrentKey], previous: data[PreviousKey]}
	if n := len(k.current); n != KeySize {
		return nil, fmt.Errorf("%s: expected %d bytes, got %d", CurrentKey, KeySize, n)
	}
	if n := len(k.previous); n != 0 && n != KeySize {
		return nil, fmt.Errorf("%s: expected %d bytes or none, got %d", PreviousKey, KeySize, n)
	}
	return k, nil
}

// Generate returns the data of a new Secret.
func Generate() (map[string][]byte, error) {
	key := make([]byte, KeySize)
	_, err := rand.Read(key)
	return map[string][]byte{CurrentKey: key}, err
}

// Sign returns the code of the parts: 26 lowercase letters and digits, which a URL
// path, a query and an environment variable hold as they are.
func (k *Keyring) Sign(purpose Purpose, parts ...string) string {
	return encode(sum(k.current, purpose, parts)[:macSize])
}

// Verify reports whether the code is that of the parts. It takes the same time
// whatever the code is.
func (k *Keyring) Verify(code string, purpose Purpose, parts ...string) bool {
	ok := hmac.Equal([]byte(code), []byte(k.Sign(purpose, parts...)))
	if k.previous == nil {
		return ok
	}
	return hmac.Equal([]byte(code), []byte(encode(sum(k.previous, purpose, parts)[:macSize]))) || ok
}

// Derive returns a key that only the operator and the holder of the parts have: 52
// lowercase letters and digits. It reveals nothing of the keyring.
func (k *Keyring) Derive(purpose Purpose, parts ...string) string {
	return encode(sum(k.current, purpose, parts))
}

// sum quotes each part, so that no two lists of parts have one text.
func sum(key []byte, purpose Purpose, parts []string) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%q%q", purpose, parts)
	return mac.Sum(nil)
}

func encode(b []byte) string {
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
