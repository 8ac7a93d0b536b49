package main

import (
	"encoding/json"

	"sigs.k8s.io/kustomize/api/types"
)

// Request is one line on standard input.
type Request struct {
	ID        int64  `json:"id"`
	Op        string `json:"op"` // "build", "hold", "parse", "texts", "describe" or "unseal"
	TimeoutMS int64  `json:"timeout_ms"`

	// Of a build and of a hold.
	Artifact string    `json:"artifact"` // file name of the tar.gz
	Digest   string    `json:"digest"`   // "sha256:<hex>" of that file
	Known    []Closure `json:"known"`    // closures of renders that the caller holds

	// Of a build.
	Path string `json:"path"` // directory in the artifact
	Spec Parts  `json:"spec"`
	// Decrypt tells that the caller can decrypt: a build then ends with the encrypted files that kustomize must read in
	// plain form, until Plain, by path, holds them all.
	Decrypt bool              `json:"decrypt"`
	Plain   map[string][]byte `json:"plain"`

	// Of a parse.
	Texts []string `json:"texts"`

	// Of texts: objects whose YAML is wanted.
	Objects []json.RawMessage `json:"objects"`

	// Of describe and unseal.
	Sealed []Sealed     `json:"sealed"`
	Unseal []UnsealTask `json:"unseal"`
}

// UnsealTask is a text to decrypt.
type UnsealTask struct {
	Sealed
	Key   []byte `json:"key"`   // the data key
	Into  string `json:"into"`  // format of the plain text; "" only checks the MAC
	Check bool   `json:"check"` // the MAC must hold
}

// Parts are the fields of a Kustomization's spec that take part in a build.
type Parts struct {
	TargetNamespace         string        `json:"targetNamespace"`
	NamePrefix              string        `json:"namePrefix"`
	NameSuffix              string        `json:"nameSuffix"`
	Patches                 []Patch       `json:"patches"`
	Images                  []types.Image `json:"images"`
	Components              []string      `json:"components"`
	IgnoreMissingComponents bool          `json:"ignoreMissingComponents"`
	BuildMetadata           []string      `json:"buildMetadata"`
	// Where asks which file each object comes from, instead of the objects; no field of a spec.
	Where bool `json:"where"`
}

// Patch is an inline patch; unlike kustomize's own it cannot name a file.
type Patch struct {
	Patch  string          `json:"patch"`
	Target *types.Selector `json:"target"`
}

// empty reports whether there is nothing to add to a kustomization file.
func (p *Parts) empty() bool {
	return p.TargetNamespace == "" && p.NamePrefix == "" && p.NameSuffix == "" && len(p.Patches) == 0 &&
		len(p.Images) == 0 && len(p.Components) == 0 && len(p.BuildMetadata) == 0 && !p.Where
}

// Response is one line on standard output: either a result or an error.
type Response struct {
	ID     int64  `json:"id"`
	Result any    `json:"result,omitempty"`
	Error  *Fault `json:"error,omitempty"`
}

// BuildResult holds a render, or only the position in Request.Known of the closure that still holds.
type BuildResult struct {
	Known   *int              `json:"known,omitempty"`
	Objects []json.RawMessage `json:"objects,omitempty"`
	Texts   map[int]string    `json:"texts,omitempty"` // by position, the YAML of the objects that substitution can change
	Closure Closure           `json:"closure,omitempty"`
	Where   []string          `json:"where,omitempty"`   // the file of each object, if Parts.Where asked for it
	Sealed  []Sealed          `json:"sealed,omitempty"`  // files to be decrypted first; then there are no objects
	Origins []Sealed          `json:"origins,omitempty"` // encrypted files that objects are made of
	Notes   []string          `json:"notes,omitempty"`   // what the author should know although the build succeeds
}

// TextsResult holds the YAML of each object, "" of those that substitution cannot change.
type TextsResult struct {
	Texts []string `json:"texts"`
}

// DescribeResult says of each text whether and how it is encrypted.
type DescribeResult struct {
	Described []Described `json:"described"`
}

// UnsealResult holds the plain texts.
type UnsealResult struct {
	Plain [][]byte `json:"plain"`
}

// HoldResult says of each of Request.Known whether it still holds.
type HoldResult struct {
	Holds []bool `json:"holds"`
}

// ParseResult holds the objects of each text.
type ParseResult struct {
	Objects [][]json.RawMessage `json:"objects"`
}

// Codes of faults; the caller maps each to one of its error classes.
const (
	CodeArtifact = "ArtifactFailed"   // the artifact, or the path in it, is not there
	CodeArchive  = "ArchiveInvalid"   // the artifact breaks a limit or is malformed
	CodeBuild    = "BuildFailed"      // the manifests are at fault
	CodeDeadline = "DeadlineExceeded" // the build took too long
	CodeRequest  = "BadRequest"       // the caller is at fault
)

// Fault is an error for the user: which file or field is wrong and what to do about it.
type Fault struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Index   *int   `json:"index,omitempty"` // the text that is at fault, of a parse
}

func (f *Fault) Error() string { return f.Message }
