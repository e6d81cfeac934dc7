package webhook_test

import (
	"fmt"

	"weir/webhook"
)

func ExampleGuard_Check() {
	g := webhook.NewGuard([]webhook.Rule{{Host: "*", Port: 443}, {Host: "*.shop.internal"}})
	for _, url := range []string{"https://hooks.example.com/7", "http://cart.shop.internal:8080/", "http://169.254.169.254/", "https://u:p@hooks.example.com/"} {
		fmt.Println(g.Check(url))
	}
	// Output:
	// <nil>
	// <nil>
	// has an address that is not allowed: it is private, of this machine or of its network, and async.callbacks_allow does not list it
	// has a user or a password in it: what proves that it is weir is the signature
}
