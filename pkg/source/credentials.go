package source

// Keys of a Secret with credentials.
const (
	keyAccess = "accessKey"
	keySecret = "secretKey"

	awsAccess = "AWS_ACCESS_KEY_ID"
	awsSecret = "AWS_SECRET_ACCESS_KEY"
	awsToken  = "AWS_SESSION_TOKEN"

	keyUsername = "username"
	keyPassword = "password"

	keyPrivate    = "ssh-privatekey"
	keyKnownHosts = "known_hosts"

	keyCA = "ca.crt"
)

// first of the keys that is there, as text.
func (c Credentials) first(keys ...string) string {
	for _, k := range keys {
		if v := c[k]; len(v) > 0 {
			return string(v)
		}
	}
	return ""
}
