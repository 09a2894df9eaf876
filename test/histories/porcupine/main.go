// Decides with porcupine whether strong reads and writes of each record are linearizable. It cross-checks
// test/histories/checker.ts, with which it shares no code. Reads JSON from stdin, writes the records that are not.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/anishathalye/porcupine"
)

// What an operation does to a record, or saw of it.
type operation struct {
	Client int    `json:"client"`
	Does   string `json:"does"`
	Value  *int   `json:"value"`
	// Values that a conditional delete matches.
	Matches []int `json:"matches"`
	Saw     *int  `json:"saw"`
	Call    int64 `json:"call"`
	// Null: it may take effect at any later time.
	Return *int64 `json:"return"`
}

type record struct {
	Name       string      `json:"name"`
	Operations []operation `json:"operations"`
}

// A record's value; nil while there is none.
type state *int

func step(before state, op operation) (bool, state) {
	switch op.Does {
	case "set":
		return true, op.Value
	case "add":
		if before == nil {
			return true, op.Value
		}
	case "update":
		if before != nil {
			return true, op.Value
		}
	case "delete":
		return true, nil
	case "delete_if":
		if before != nil && slices.Contains(op.Matches, *before) {
			return true, nil
		}
	case "read":
		return equal(before, op.Saw), before
	}
	return true, before
}

func equal(a, b state) bool {
	return (a == nil && b == nil) || (a != nil && b != nil && *a == *b)
}

var model = porcupine.Model{
	Init: func() any { return state(nil) },
	Step: func(before, input, _ any) (bool, any) {
		return step(before.(state), input.(operation))
	},
	Equal: func(a, b any) bool { return equal(a.(state), b.(state)) },
}

func main() {
	var records []record
	if err := json.NewDecoder(os.Stdin).Decode(&records); err != nil {
		fmt.Fprintln(os.Stderr, "the history cannot be read:", err)
		os.Exit(2)
	}
	for _, each := range records {
		operations := make([]porcupine.Operation, 0, len(each.Operations))
		for _, op := range each.Operations {
			returned := int64(math.MaxInt64)
			if op.Return != nil {
				returned = *op.Return
			}
			operations = append(operations, porcupine.Operation{
				ClientId: op.Client, Input: op, Call: op.Call, Output: op, Return: returned,
			})
		}
		if !porcupine.CheckOperations(model, operations) {
			fmt.Println(each.Name)
		}
	}
}
