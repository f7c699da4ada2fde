package delivery

import (
	"crypto/tls"

	corev1listers "k8s.io/client-go/listers/core/v1"
	"knative.dev/eventing/pkg/eventingtls"
)

// TrustBundles trusts the system's certificates, those of the destination, and those of
// the trust bundles that Knative keeps in ConfigMaps.
func TrustBundles(bundles corev1listers.ConfigMapNamespaceLister) TLSConfig {
	return func(caCerts *string) (*tls.Config, error) {
		return eventingtls.GetTLSClientConfig(eventingtls.ClientConfig{CACerts: caCerts, TrustBundleConfigMapLister: bundles})
	}
}

// trustCertificates trusts the system's certificates and those of the destination.
func trustCertificates(caCerts *string) (*tls.Config, error) {
	return eventingtls.GetTLSClientConfig(eventingtls.ClientConfig{CACerts: caCerts})
}
