// Command kstatus says what kstatus (sigs.k8s.io/cli-utils), which Flux and Helm decide by, makes of Kubernetes objects.
//
// It reads JSON objects from stdin, one after another, and prints one JSON verdict a line for each, in their order:
//
//	{"status":"InProgress","message":"..."}
//
// The status is Current, InProgress, Failed, Terminating, NotFound or Unknown. The input null stands for an object that is
// not there. The first input that is not an object ends it with exit code 1 and a message on stderr.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func judge(object map[string]any) (verdict, error) {
	if object == nil {
		return verdict{Status: status.NotFoundStatus.String(), Message: "the object is not there"}, nil
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return verdict{}, err
	}
	return verdict{Status: result.Status.String(), Message: result.Message}, nil
}

func run(in io.Reader, out io.Writer) error {
	decoder, encoder := json.NewDecoder(in), json.NewEncoder(out)
	for number := 1; ; number++ {
		var text json.RawMessage
		if err := decoder.Decode(&text); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("input %d: %w", number, err)
		}
		var object map[string]any
		if err := kubejson.Unmarshal(text, &object); err != nil { // whole numbers as int64, as the API has them
			return fmt.Errorf("object %d: %w", number, err)
		}
		found, err := judge(object)
		if err != nil {
			return fmt.Errorf("object %d: %w", number, err)
		}
		if err := encoder.Encode(found); err != nil {
			return err
		}
	}
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}
