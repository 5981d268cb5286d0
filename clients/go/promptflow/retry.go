package promptflow

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// RetryPolicy says when to try again and when to give up. Zero fields take the defaults.
type RetryPolicy struct {
	// Patience bounds a row of failures without one new message between them: 30 s.
	Patience time.Duration
	// Initial is the first delay: 100 ms. Delays double, with jitter; one that the server asks for is kept.
	Initial time.Duration
	// Max is the longest delay: 5 s.
	Max time.Duration
	// Silence is how long a stream may say nothing, heartbeats included, until it counts as cut: 60 s.
	Silence time.Duration
	// Call is the deadline of calls that answer at once, where the context has none: 60 s.
	Call time.Duration
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	fill := func(value *time.Duration, standard time.Duration) {
		if *value <= 0 {
			*value = standard
		}
	}
	fill(&p.Patience, 30*time.Second)
	fill(&p.Initial, 100*time.Millisecond)
	fill(&p.Max, 5*time.Second)
	fill(&p.Silence, 60*time.Second)
	fill(&p.Call, 60*time.Second)
	return p
}

// delayOf is the delay before retry attempt (1 = first): uniform in the upper half of the capped exponential, and so
// never near zero. draw gives numbers in [0, 1).
func delayOf(attempt int, policy RetryPolicy, draw func() float64) time.Duration {
	// The exponent is capped so that a large attempt cannot overflow.
	ceiling := min(float64(policy.Max), float64(policy.Initial)*math.Pow(2, float64(min(attempt-1, 64))))
	return time.Duration(ceiling * (0.5 + draw()/2))
}

// attempts are the tries of one call or one stream, within the policy's patience.
type attempts struct {
	policy       RetryPolicy
	failingSince time.Time
	failures     int
}

// progressed says that something new came: patience and delays begin afresh.
func (a *attempts) progressed() {
	a.failures = 0
}

// wait sleeps until the next try after failure. It gives failure itself when patience is over, and the error of the
// context when that is.
func (a *attempts) wait(ctx context.Context, failure error) error {
	now := time.Now()
	if a.failures == 0 {
		a.failingSince = now
	}
	a.failures++
	asked := retryAfter(failure)
	delay := max(asked, delayOf(a.failures, a.policy, rand.Float64))
	if now.Add(delay).Sub(a.failingSince) > a.policy.Patience {
		return failure
	}
	if deadline, ok := ctx.Deadline(); ok && asked > 0 && asked >= deadline.Sub(now) {
		return overdue(context.DeadlineExceeded, failure)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return overdue(ctx.Err(), failure)
	}
}

func retryAfter(failure error) time.Duration {
	var found *Error
	if errors.As(failure, &found) {
		return found.RetryAfter
	}
	return 0
}
