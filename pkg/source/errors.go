package source

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// Reasons of an InvalidError.
const (
	// ReasonInvalid says that what the source holds cannot be a function's.
	ReasonInvalid = "SourceInvalid"
	// ReasonTooLarge says that the source is larger than what is fetched.
	ReasonTooLarge = "SourceTooLarge"
	// ReasonEmpty says that the source holds no file.
	ReasonEmpty = "SourceEmpty"
	// ReasonBucketNotFound says that there is no such bucket.
	ReasonBucketNotFound = "BucketNotFound"
	// ReasonObjectNotFound says that the bucket has no such object or version.
	ReasonObjectNotFound = "ObjectNotFound"
	// ReasonRepositoryNotFound says that there is no such git repository, or none
	// that the credentials may read.
	ReasonRepositoryNotFound = "RepositoryNotFound"
	// ReasonRefNotFound says that the repository has no such branch, tag or
	// commit.
	ReasonRefNotFound = "RefNotFound"
	// ReasonPathNotFound says that the commit has no such folder.
	ReasonPathNotFound = "PathNotFound"
	// ReasonAccessDenied says that the credentials are wrong, or missing.
	ReasonAccessDenied = "SourceAccessDenied"
	// ReasonSecretNotFound says that the Secret that the spec names is not there.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid says that the Secret lacks a key, or that a key does
	// not hold what it should.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonHostKeyUnknown says that known_hosts does not have the server's key.
	ReasonHostKeyUnknown = "HostKeyUnknown"
	// ReasonCertificateInvalid says that the server's certificate is not of a
	// known authority, or of another name.
	ReasonCertificateInvalid = "SourceCertificateInvalid"
	// ReasonAddressForbidden says that the source has an address that is not
	// public and that configuration does not allow.
	ReasonAddressForbidden = "SourceAddressForbidden"
	// ReasonUnreachable is of errors that are none of these: the source cannot be
	// reached, or does not answer as it should. It may pass by itself.
	ReasonUnreachable = "SourceUnreachable"
)

// InvalidError says what is wrong with a source; the user has to change it.
type InvalidError struct {
	// Reason in CamelCase.
	Reason  string
	Message string
	// limited says that the caller's own limit was below MaxBytes.
	limited bool
}

func (e *InvalidError) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return because(ReasonInvalid, format, args...)
}

func because(reason, format string, args ...any) error {
	return &InvalidError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// overLimit is of a source that has more bytes than that.
func overLimit(limit int64) error {
	return &InvalidError{Reason: ReasonTooLarge, limited: limit < MaxBytes,
		Message: fmt.Sprintf("the source has more than %d bytes (%s)", limit, mebibytes(limit))}
}

// OverLimit reports whether Fetch ended because the source has more bytes than the
// caller's limit, which is below MaxBytes: with a higher one it may succeed.
func OverLimit(err error) bool {
	var invalid *InvalidError
	return errors.As(err, &invalid) && invalid.limited
}

// Reason of an error of Resolve or Fetch, and whether only a person can help.
func Reason(err error) (reason string, users bool) {
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		return invalid.Reason, true
	}
	return ReasonUnreachable, false
}

// unreachable says of an error of the network what it means: libraries may have
// lost the reason on its way up, so the network is asked first.
func (n *network) unreachable(ctx context.Context, host string, err error) error {
	var (
		already   *InvalidError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		expired   x509.CertificateInvalidError
		timeout   net.Error
	)
	switch refused := n.refusal(); {
	case refused != nil:
		return refused
	case errors.As(err, &already):
		return already
	case errors.As(err, &authority):
		return because(ReasonCertificateInvalid, "%s has a certificate of an authority that is not known: put the authority's certificate into the key %s of the Secret", host, keyCA)
	case errors.As(err, &name), errors.As(err, &expired):
		return because(ReasonCertificateInvalid, "the certificate of %s does not hold: %v", host, err)
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s did not answer in time: %w", host, err)
	}
	return fmt.Errorf("%s: %w", host, err)
}
