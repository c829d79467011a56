// Command promql says of each PromQL expression whether Prometheus would take it, and which series it reads.
//
// It reads a JSON array of expressions from standard input and writes one line of JSON for each, in their order:
// {"metrics": [...], "labels": [...]} with the names of the series and of the labels that it matches, groups or joins by, or
// {"error": "..."} in the parser's own words.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

type verdict struct {
	Error   string   `json:"error,omitempty"`
	Metrics []string `json:"metrics,omitempty"`
	Labels  []string `json:"labels,omitempty"`
}

func judge(text string) verdict {
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return verdict{Error: err.Error()}
	}
	var found verdict
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch node := node.(type) {
		case *parser.VectorSelector:
			for _, matcher := range node.LabelMatchers {
				if matcher.Name == labels.MetricName {
					found.Metrics = append(found.Metrics, matcher.Value)
				} else {
					found.Labels = append(found.Labels, matcher.Name)
				}
			}
		case *parser.AggregateExpr:
			found.Labels = append(found.Labels, node.Grouping...)
		case *parser.BinaryExpr:
			if node.VectorMatching != nil {
				found.Labels = append(found.Labels, node.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	for _, names := range []*[]string{&found.Metrics, &found.Labels} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return found
}

func main() {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		fmt.Fprintln(os.Stderr, "promql: no JSON array of expressions on standard input:", err)
		os.Exit(2)
	}
	answers := json.NewEncoder(os.Stdout)
	for _, text := range expressions {
		if err := answers.Encode(judge(text)); err != nil {
			fmt.Fprintln(os.Stderr, "promql:", err)
			os.Exit(1)
		}
	}
}
