//go:build tools

// Package tools pins the kwok that the test bench runs: it plays the kubelet of fake nodes.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
