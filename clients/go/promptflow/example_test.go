package promptflow_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	documentinsight "github.com/promptflow-grpc/promptflow-go/flows/document_insight/v1"
	sentimentanalysis "github.com/promptflow-grpc/promptflow-go/flows/sentiment_analysis/v1"
	"github.com/promptflow-grpc/promptflow-go/promptflow"
)

func documentClient(t *testing.T) *documentinsight.Client {
	return documentinsight.New(serve(t, &scripted{}))
}

func documentInputs(file *promptflow.File) documentinsight.Inputs {
	return documentinsight.Inputs{Document: file}
}

func Example() {
	conn, err := promptflow.Dial("localhost:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := sentimentanalysis.New(conn)
	result, err := client.Run(context.Background(), sentimentanalysis.Inputs{Text: "I love this!"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Analyze.Label, result.Analyze.Confidence)
}

func ExampleClient_Stream() {
	read := func(ctx context.Context, client *documentinsight.Client, page string) error {
		inputs := documentinsight.Inputs{Document: promptflow.FileFrom(page)}
		for event, err := range client.Stream(ctx, inputs) {
			if err != nil {
				return err
			}
			switch event := event.(type) {
			case *documentinsight.StepProgress:
				fmt.Printf("%s: %.0f %%\n", event.Step, event.Percentage)
			case *documentinsight.StepCompleted:
				if read, ok := event.Output.(*documentinsight.OcrOutput); ok {
					fmt.Println(read.Text)
				}
			case *documentinsight.Done:
				if result := event.Execution.Result; result != nil {
					fmt.Println(result.Mood == documentinsight.ResultMood_Mixed)
				}
			}
		}
		return nil
	}
	_ = read
}

func ExampleError() {
	careful := func(ctx context.Context, client *sentimentanalysis.Client, text string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		result, err := client.Run(ctx, sentimentanalysis.Inputs{Text: text})
		var failure *promptflow.Error
		switch {
		case err == nil:
			return result.Analyze.Label, nil
		case errors.Is(err, context.DeadlineExceeded):
			return "", errors.New("five seconds were not enough")
		case errors.Is(err, promptflow.ReasonInvalidInput) && errors.As(err, &failure):
			return "", fmt.Errorf("wrong: %v", failure.Violations)
		case errors.As(err, &failure):
			return "", fmt.Errorf("%s in step %s of run %s", failure.Reason, failure.Step, failure.ExecutionID)
		default:
			return "", err
		}
	}
	_ = careful
}

func ExampleDial() {
	conn, err := promptflow.Dial("flows.example.com:443",
		promptflow.WithTLS(nil),
		promptflow.WithAPIKey(os.Getenv("PROMPTFLOW_API_KEY")), // or WithBearer(token), or any WithMetadata(function)
		promptflow.WithGzip(),
		promptflow.WithRetry(promptflow.RetryPolicy{Patience: 2 * time.Minute}),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	// The same request id never starts a second run, even if this program itself is restarted.
	handle, err := sentimentanalysis.New(conn).Start(context.Background(), sentimentanalysis.Inputs{Text: "hi"},
		promptflow.RequestID("order-17"),
		promptflow.Labels(map[string]string{"team": "sales"}),
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(handle.ID())
}

func ExampleConn_Executions() {
	list := func(ctx context.Context, conn *promptflow.Conn) error {
		for run, err := range conn.Executions(ctx, promptflow.Filter{Flow: "sentiment_analysis"}) {
			if err != nil {
				return err
			}
			fmt.Println(run.ID, run.Status, run.Metadata.CreatedAt)
		}
		return nil
	}
	_ = list
}
