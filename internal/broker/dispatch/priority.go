package dispatch

import (
	"crypto/sha256"
	"encoding/binary"
)

// Spread returns Options.Priority of a replica: its weight for each queue by rendezvous
// hashing. RabbitMQ knows the consumers of the replicas that are ready and chooses the one
// with the highest weight, so that a replica need not know the others: each has its share
// of the ordered queues, and one that starts or stops moves its own share only.
//
// RabbitMQ before 4.0 ignores the priority of ordered queues. The first consumer is then
// the active one.
func Spread(replica string) func(queue string) int {
	return func(queue string) int {
		sum := sha256.Sum256([]byte(replica + "\x00" + queue))
		return int(binary.BigEndian.Uint32(sum[:4]) >> 1) // RabbitMQ's priorities are signed
	}
}
