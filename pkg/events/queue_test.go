package events

import "testing"

func TestDeadLetterQueue(t *testing.T) {
	t.Parallel()
	if got, want := DeadLetterQueue("team", "greeter"), "lambda.dlq.team.greeter"; got != want {
		t.Errorf("DeadLetterQueue() = %s, want %s", got, want)
	}
	if got, want := AgentDeadLetterQueue("team", "bruno"), "lambda.dlq.team.agents.bruno"; got != want {
		t.Errorf("AgentDeadLetterQueue() = %s, want %s", got, want)
	}
}
