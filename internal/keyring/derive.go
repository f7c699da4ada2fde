package keyring

// DeriveAll returns the key of Derive, and after it the one that the previous key makes,
// while keys are rotated: holders that have not been given the new one yet have that.
func (k *Keyring) DeriveAll(purpose Purpose, parts ...string) []string {
	all := []string{k.Derive(purpose, parts...)}
	if k.previous != nil {
		all = append(all, encode(sum(k.previous, purpose, parts)))
	}
	return all
}
