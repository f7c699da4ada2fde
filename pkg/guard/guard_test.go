package guard

import "testing"

// TestNetworks: what is refused to whoever may reach a cluster's neighbours, and to
// whoever may reach the public Internet only.
func TestNetworks(t *testing.T) {
	for _, tt := range []struct {
		address      string
		special, own bool
	}{
		{"93.184.216.34:443", false, false},
		{"[2606:2800:220:1::1]:443", false, false},
		{"10.96.0.1:443", true, false},
		{"192.168.1.1:80", true, false},
		{"[fd00::1]:80", true, false},
		{"127.0.0.1:80", true, true},
		{"[::1]:80", true, true},
		{"[fe80::1%eth0]:80", true, true},
		{"169.254.169.254:80", true, true},
		{"[::ffff:169.254.169.254]:80", true, true},
		{"[64:ff9b::a9fe:a9fe]:80", true, true},
		{"100.100.100.200:80", true, true},
		{"[fd00:ec2::254]:80", true, true},
		{"168.63.129.16:80", false, true},
	} {
		ip, err := Address(tt.address)
		if err != nil {
			t.Errorf("Address(%s) = %v", tt.address, err)
		}
		if special, own := Within(Special, ip), Within(Own, ip); special != tt.special || own != tt.own {
			t.Errorf("%s: special %t, own %t; want %t, %t", tt.address, special, own, tt.special, tt.own)
		}
	}
	if _, err := Address("localhost:80"); err == nil {
		t.Error("a name is an address")
	}
}
