package promptflow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func detail(t *testing.T, message proto.Message) *anypb.Any {
	t.Helper()
	packed, err := anypb.New(message)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func TestAnErrorHasAllThatTheServerSaid(t *testing.T) {
	sent := &statuspb.Status{Code: int32(codes.InvalidArgument), Message: "no", Details: []*anypb.Any{
		{TypeUrl: "type.googleapis.com/of.Others", Value: []byte{1}},
		{TypeUrl: "type.googleapis.com/google.rpc.ErrorInfo", Value: []byte("broken")},
		detail(t, &errdetails.ErrorInfo{Reason: "INVALID_INPUT", Metadata: map[string]string{"step": "s", "execution_id": "e"}}),
		detail(t, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "a", Description: "b"}}}),
		detail(t, &errdetails.RetryInfo{RetryDelay: durationpb.New(2 * time.Second)}),
	}}
	err := fmt.Errorf("around: %w", errorOfStatus(sent))
	var found *Error
	if !errors.As(err, &found) || !errors.Is(err, ReasonInvalidInput) || errors.Is(err, ReasonInternal) {
		t.Fatalf("it reads as %v", err)
	}
	if status.Code(err) != codes.InvalidArgument || found.RetryAfter != 2*time.Second || found.Step != "s" || found.ExecutionID != "e" {
		t.Errorf("it reads as %#v", found)
	}
	if got := found.Error(); got != "INVALID_INPUT: no; a: b" {
		t.Errorf("it prints as %s", got)
	}
}

func TestStatusesThatAreNoneReadAsUnknown(t *testing.T) {
	for _, sent := range []*statuspb.Status{nil, {}, {Code: 17}, {Code: -1}} {
		if found := errorOfStatus(sent); found.Code != codes.Unknown || found.Error() == "" {
			t.Errorf("%v reads as %v", sent, found)
		}
	}
}

func TestWhatTheCallerEndedReadsAsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errorOfCall(ctx, status.Error(codes.Canceled, "")); !errors.Is(err, context.Canceled) || status.Code(err) != codes.Canceled {
		t.Errorf("it reads as %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := errorOfCall(ctx, status.Error(codes.DeadlineExceeded, "")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it reads as %v", err)
	}
	if err := errorOfCall(t.Context(), status.Error(codes.DeadlineExceeded, "")); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline that is not the caller's reads as %v", err)
	}
}

func TestOnlyCutsAreTakenUpAgain(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		isBroken := code == codes.Canceled || code == codes.DeadlineExceeded || code == codes.Internal || code == codes.Unknown
		if got, want := isCut(&Error{Code: code}, true), isBroken || code == codes.Unavailable; got != want {
			t.Errorf("%s of a known run: %t", code, got)
		}
		if got, want := isCut(&Error{Code: code}, false), code == codes.Unavailable; got != want {
			t.Errorf("%s of a run that may not have begun: %t", code, got)
		}
		if got, want := isCut(&Error{Code: code, Reason: "SOME"}, true), code == codes.Unavailable; got != want {
			t.Errorf("%s by the server's word: %t", code, got)
		}
	}
}
