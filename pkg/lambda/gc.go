package lambda

import (
	"os"
	goruntime "runtime"
	"runtime/debug"
)

// smallHeap is what may be alive for the collector to be told to wait longer, in
// bytes: with so little it would run many times a second under load, and waiting
// costs a few such heaps.
const smallHeap = 16 << 20

// tuneCollector lets a small heap grow to five times what is alive instead of
// twice, unless the function's owner has said something else.
func tuneCollector() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(400)
	watchHeap(true)
}

// watchHeap looks at the heap after each collection: the finalizer of an object
// that nothing refers to runs then.
func watchHeap(small bool) {
	goruntime.SetFinalizer(&struct{ _ [16]byte }{}, func(any) {
		var stats goruntime.MemStats
		goruntime.ReadMemStats(&stats)
		percent := uint64(100)
		if small {
			percent = 400
		}
		alive := stats.NextGC * 100 / (100 + percent)
		switch {
		case small && alive > smallHeap:
			debug.SetGCPercent(100)
			small = false
		case !small && alive < smallHeap/2:
			debug.SetGCPercent(400)
			small = true
		}
		watchHeap(small)
	})
}
