package main

import (
	"errors"
	"sync"

	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// schemaLock guards kustomize's one schema per process: builds that use the built-in one share it, a build that brings
// its own (`openapi` in a kustomization file) runs alone and leaves the built-in one behind.
var schemaLock sync.RWMutex

// errNeedsSchema stops a build that must be run again with the schema for itself.
var errNeedsSchema = errors.New("the build brings its own OpenAPI schema")

// warmSchema parses the built-in schema, which kustomize else does without a lock when first needed.
func warmSchema() { openapi.Schema() }

// withSharedSchema runs a build on the built-in schema.
func withSharedSchema(build func() error) error {
	schemaLock.RLock()
	defer schemaLock.RUnlock()
	return build()
}

// withOwnSchema runs a build that may change the schema. Its own one comes on top of the built-in one, as with Flux.
func withOwnSchema(build func() error) error {
	schemaLock.Lock()
	defer schemaLock.Unlock()
	openapi.ResetOpenAPI()
	warmSchema()
	defer func() {
		openapi.ResetOpenAPI()
		warmSchema()
	}()
	return build()
}
