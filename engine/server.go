package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	defaultTimeout = time.Minute
	// answerGrace lets a build that notices its deadline itself say where it stopped.
	answerGrace = 100 * time.Millisecond
	// stuckGrace is how long a build may outlive its deadline before the whole process gives up on it.
	stuckGrace = 2 * time.Second
)

// Server answers requests concurrently, at most one build per processor at a time.
type Server struct {
	store *Store
	slots chan struct{}

	mu  sync.Mutex // guards out
	out *bufio.Writer
}

// NewServer writes its answers to out.
func NewServer(store *Store, out io.Writer) *Server {
	return &Server{store: store, slots: make(chan struct{}, runtime.NumCPU()), out: bufio.NewWriter(out)}
}

// Serve reads requests until in ends; an error means that the peer broke the protocol.
func (s *Server) Serve(in io.Reader) error {
	warmSchema()
	lines := bufio.NewReaderSize(in, 64*1024)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		var request Request
		if err := json.Unmarshal(line, &request); err != nil {
			s.answer(Response{ID: request.ID, Error: &Fault{Code: CodeRequest, Message: err.Error()}})
			continue
		}
		go s.handle(&request)
	}
}

// handle answers at the deadline at the latest. A build that cannot be stopped takes the process with it, because
// nothing smaller can be killed; the caller starts another.
func (s *Server) handle(request *Request) {
	timeout := time.Duration(request.TimeoutMS) * time.Millisecond
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	done := make(chan Response, 1)
	go func() { done <- s.do(ctx, request) }()
	select {
	case response := <-done:
		s.answer(response)
		return
	case <-ctx.Done():
	}
	select {
	case response := <-done:
		s.answer(response)
		return
	case <-time.After(answerGrace):
		s.answer(Response{ID: request.ID, Error: deadlineFault()})
	}
	select {
	case <-done:
	case <-time.After(stuckGrace):
		fmt.Fprintln(os.Stderr, "fleetbeat-engine: a build does not end after its deadline")
		os.Exit(3)
	}
}

func deadlineFault() *Fault {
	return &Fault{Code: CodeDeadline, Message: "the build did not end in time"}
}

func (s *Server) do(ctx context.Context, request *Request) Response {
	response := Response{ID: request.ID}
	result, err := s.dispatch(ctx, request)
	var fault *Fault
	switch {
	case err == nil:
		response.Result = result
	case errors.As(err, &fault):
		response.Error = fault
	default:
		response.Error = &Fault{Code: CodeBuild, Message: err.Error()}
	}
	return response
}

func (s *Server) dispatch(ctx context.Context, request *Request) (any, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, deadlineFault()
	}
	switch request.Op {
	case "build":
		return s.build(ctx, request)
	case "hold":
		return s.hold(request)
	case "parse":
		return parseTexts(request.Texts)
	case "texts":
		return textsOf(request.Objects)
	case "describe":
		return describeSealed(request.Sealed)
	case "unseal":
		return unsealAll(request.Unseal)
	default:
		return nil, &Fault{Code: CodeRequest, Message: fmt.Sprintf("unknown operation %q", request.Op)}
	}
}

func (s *Server) build(ctx context.Context, request *Request) (any, error) {
	tree, err := s.store.Load(request.Artifact, request.Digest)
	if err != nil {
		return nil, err
	}
	for i, closure := range request.Known {
		if closure.Holds(tree) {
			return &BuildResult{Known: &i}, nil
		}
	}
	return Build(ctx, tree, request.Path, &request.Spec, request.Decrypt, request.Plain)
}

func (s *Server) hold(request *Request) (any, error) {
	tree, err := s.store.Load(request.Artifact, request.Digest)
	if err != nil {
		return nil, err
	}
	result := &HoldResult{Holds: make([]bool, len(request.Known))}
	for i, closure := range request.Known {
		result.Holds[i] = closure.Holds(tree)
	}
	return result, nil
}

func (s *Server) answer(response Response) {
	line, err := json.Marshal(response)
	if err != nil {
		line, _ = json.Marshal(Response{ID: response.ID, Error: &Fault{Code: CodeBuild, Message: err.Error()}})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(append(line, '\n'))
	_ = s.out.Flush()
}
