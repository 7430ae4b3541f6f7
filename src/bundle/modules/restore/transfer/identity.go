package transfer

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"time"
)

// identity is a key of one transfer. It is in the memory of this program and nowhere else.
type identity struct {
	certificate tls.Certificate
	// SHA-256 of the public key, which the other side is given by the node agents.
	pin string
}

func newIdentity() (identity, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return identity{}, err
	}
	// The dates are those of X.509 for a certificate without an end: nobody compares them.
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
	if err != nil {
		return identity{}, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, err
	}
	return identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private},
		pin:         pinOf(parsed),
	}, nil
}

func pinOf(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

var errWrongPin = errors.New("the other side has another key than its node agent told")

// config is for both sides: each shows its key, and accepts one key of the other.
func (own identity) config(peerPin string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{own.certificate},
		ClientAuth:   tls.RequireAnyClientCert,
		// No authority signs these certificates: VerifyConnection compares the key.
		InsecureSkipVerify:          true,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errWrongPin
			}
			pin := pinOf(state.PeerCertificates[0])
			if subtle.ConstantTimeCompare([]byte(pin), []byte(peerPin)) != 1 {
				return errWrongPin
			}
			return nil
		},
	}
}
