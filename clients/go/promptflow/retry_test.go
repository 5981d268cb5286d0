package promptflow

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
)

func unavailable(after time.Duration) *Error {
	return &Error{Code: codes.Unavailable, Message: "away", RetryAfter: after}
}

func TestDelaysDoubleUpToTheLongestAndAreNeverNearZero(t *testing.T) {
	policy := RetryPolicy{}.withDefaults()
	for attempt, ceiling := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 6: 3200 * time.Millisecond, 7: 5 * time.Second,
		1000: 5 * time.Second,
	} {
		lowest := delayOf(attempt, policy, func() float64 { return 0 })
		highest := delayOf(attempt, policy, func() float64 { return 1 })
		if lowest != ceiling/2 || highest != ceiling {
			t.Errorf("attempt %d waits %s to %s, not %s to %s", attempt, lowest, highest, ceiling/2, ceiling)
		}
	}
}

func TestPatienceEndsWithTheFailureItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, failure, started := attempts{policy: RetryPolicy{}.withDefaults()}, unavailable(0), time.Now()
		for {
			if err := tries.wait(t.Context(), failure); err != nil {
				if err != error(failure) {
					t.Errorf("patience ended with %v", err)
				}
				break
			}
		}
		if waited := time.Since(started); waited < 25*time.Second || waited > 30*time.Second {
			t.Errorf("patience was %s", waited)
		}
	})
}

func TestProgressRenewsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, started := attempts{policy: RetryPolicy{}.withDefaults()}, time.Now()
		for time.Since(started) < 5*time.Minute {
			if err := tries.wait(t.Context(), unavailable(0)); err != nil {
				t.Fatalf("after %s: %v", time.Since(started), err)
			}
			tries.progressed()
		}
	})
}

func TestADelayThatTheServerAsksForIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, started := attempts{policy: RetryPolicy{}.withDefaults()}, time.Now()
		if err := tries.wait(t.Context(), unavailable(20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(started); waited != 20*time.Second {
			t.Errorf("it waited %s", waited)
		}
	})
}

func TestADelayBeyondTheDeadlineIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		tries, started := attempts{policy: RetryPolicy{}.withDefaults()}, time.Now()
		err := tries.wait(ctx, unavailable(20*time.Second))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(started) != 0 {
			t.Errorf("after %s: %v", time.Since(started), err)
		}
	})
}

func TestACancelledContextEndsAWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		tries, started := attempts{policy: RetryPolicy{}.withDefaults()}, time.Now()
		err := tries.wait(ctx, unavailable(20*time.Second))
		if !errors.Is(err, context.Canceled) || time.Since(started) != time.Second {
			t.Errorf("after %s: %v", time.Since(started), err)
		}
	})
}
