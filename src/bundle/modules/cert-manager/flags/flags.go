// Package flags has what the programs of cert-manager parse and print alike. Their own main packages are in modules that
// are not published; these take the flags of the same names that installations need.
package flags

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/cert-manager/cert-manager/internal/apis/config/shared"
	"github.com/cert-manager/cert-manager/pkg/util"
	utilfeature "github.com/cert-manager/cert-manager/pkg/util/feature"
)

// LeaderElection adds the flags of the lease that replicas hold.
func LeaderElection(fs *pflag.FlagSet, c *shared.LeaderElectionConfig) {
	fs.BoolVar(&c.Enabled, "leader-elect", c.Enabled, "work only while holding the lease")
	fs.StringVar(&c.Namespace, "leader-election-namespace", c.Namespace, "namespace of the lease")
	fs.DurationVar(&c.LeaseDuration, "leader-election-lease-duration", c.LeaseDuration, "how long a lease that is not renewed is respected")
	fs.DurationVar(&c.RenewDeadline, "leader-election-renew-deadline", c.RenewDeadline, "how long renewing is tried before leading ends")
	fs.DurationVar(&c.RetryPeriod, "leader-election-retry-period", c.RetryPeriod, "time between two attempts")
}

// Parse reads the arguments; it ends the program for --help, --version and arguments that are wrong.
func Parse(fs *pflag.FlagSet, features *map[string]bool) {
	version := fs.Bool("version", false, "print the version and exit")
	if features != nil {
		fs.Var(mapOf{features}, "feature-gates", "features to turn on or off: name=true,other=false")
	}
	if err := fs.Parse(os.Args[1:]); err != nil {
		if err == pflag.ErrHelp {
			os.Exit(0)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if *version {
		fmt.Println(util.AppVersion)
		os.Exit(0)
	}
	if features != nil {
		if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(*features); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
}

// Exit ends the program after an error, if there is one.
func Exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
