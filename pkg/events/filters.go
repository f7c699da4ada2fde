package events

import "net/url"

// FiltersQuery is the query parameter of a function's URL that carries filters of
// the CloudEvents Subscriptions API, as a JSON list of lists: a Trigger's subscriber
// has it where the broker cannot tell what the Trigger asks for. An event that does
// not match all filters of one of the lists is acknowledged and not handled.
const FiltersQuery = "lambdafilters"

// FiltersURLQuery is a URL's query with the filters, a JSON list of lists.
func FiltersURLQuery(filters string) string {
	return url.Values{FiltersQuery: {filters}}.Encode()
}
