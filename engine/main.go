// Command fleetbeat-engine renders Kubernetes manifests with the official kustomize libraries.
//
// It is a long-lived child of a worker: it reads one JSON request per line from standard input and writes one JSON
// response per line to standard output, in whatever order builds finish. Everything a build may see is an artifact
// held in memory, so that no manifest, however written, can read the disk, the environment or the network of the
// worker. It ends when its standard input ends.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
)

const mebibyte = 1 << 20

func main() {
	memory := flag.Int64("memory-mib", 1024, "data segment limit of this process in MiB; beyond it the process dies")
	unpacked := flag.Int64("artifact-mib", 256, "largest unpacked size of an artifact in MiB")
	entries := flag.Int("artifact-entries", 50_000, "largest number of files and directories in an artifact")
	flag.Parse()
	isolate()
	limitMemory(*memory * mebibyte)
	limits := Limits{Bytes: *unpacked * mebibyte, Entries: *entries}
	server := NewServer(NewStore(limits, *memory*mebibyte/4), os.Stdout)
	if err := server.Serve(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "fleetbeat-engine:", err)
		os.Exit(1)
	}
}

// limitMemory makes the runtime collect harder as the limit comes near, and the kernel refuse beyond it.
// Builds make much short-lived garbage, so that collecting it half as often as by default saves a quarter of their time.
func limitMemory(bytes int64) {
	debug.SetGCPercent(200)
	debug.SetMemoryLimit(bytes * 3 / 4)
	limit := syscall.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		fmt.Fprintln(os.Stderr, "fleetbeat-engine: memory is limited by the runtime only:", err)
	}
}
