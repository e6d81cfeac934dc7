package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/go-kit/kit/endpoint"
	kithttp "github.com/go-kit/kit/transport/http"
)

// Route is where an endpoint is found.
type Route struct {
	Method string
	Path   string // a pattern of http.ServeMux
	// Changes is true where a request changes what the sidecar does. Such a request
	// has a JSON body, or the method DELETE, so that no foreign page can send it
	// unasked.
	Changes bool
}

// operation is an endpoint of which Q is asked and A answered, defined once for
// both ends.
type operation[Q, A any] struct {
	Route
	// encode puts q into a request for the path, decode gets it out again. What
	// decode finds wrong is an *InvalidError.
	encode func(r *http.Request, q Q) error
	decode func(r *http.Request) (Q, error)
	// do asks the service.
	do func(ctx context.Context, s Service, q Q) (A, error)
}

func (o operation[Q, A]) route() Route { return o.Route }

// endpoint is the operation on a service.
func (o operation[Q, A]) endpoint(s Service) endpoint.Endpoint {
	return func(ctx context.Context, q any) (any, error) { return o.do(ctx, s, q.(Q)) }
}

// handler serves the operation on s.
func (o operation[Q, A]) handler(s Service, options ...kithttp.ServerOption) http.Handler {
	return kithttp.NewServer(
		o.endpoint(s),
		func(_ context.Context, r *http.Request) (any, error) { return o.decode(r) },
		writeAnswer,
		options...,
	)
}

// asker sends the operation to the server at base.
func (o operation[Q, A]) asker(base *url.URL, options ...kithttp.ClientOption) func(context.Context, Q) (A, error) {
	ask := kithttp.NewExplicitClient(
		func(ctx context.Context, q any) (*http.Request, error) {
			r, err := http.NewRequestWithContext(ctx, o.Method, base.JoinPath(o.Path).String(), nil)
			if err != nil {
				return nil, err
			}
			return r, o.encode(r, q.(Q))
		},
		func(_ context.Context, res *http.Response) (any, error) {
			var a A
			return a, readAnswer(res, &a)
		},
		options...,
	).Endpoint()
	return func(ctx context.Context, q Q) (A, error) {
		a, err := ask(ctx, q)
		if err != nil {
			var none A
			return none, unwrapURL(err)
		}
		return a.(A), nil
	}
}

// writeAnswer writes what an endpoint returned.
func writeAnswer(_ context.Context, w http.ResponseWriter, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n')) // a client that left cannot be told
	return nil
}
