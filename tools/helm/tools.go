//go:build tools

// Package tools pins the Helm that renders the chart in tests.
package tools

import (
	_ "helm.sh/helm/v4/pkg/cmd"
)
