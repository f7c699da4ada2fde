package function

type greeting struct {
	Message string `json:"message"`
}

func Handler(in struct{ Name string }) (greeting, error) {
	return greeting{"Hello, " + in.Name + "!"}, nil
}
