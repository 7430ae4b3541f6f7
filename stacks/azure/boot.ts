import {Fn} from 'cdktf'

/**
 * An internal load balancer of Azure drops what a machine behind it sends to it and gets back itself, so a control
 * plane would not reach its own API by the endpoint. While its API server listens, it therefore answers for the
 * address of the balancer itself; before that, and when it has died, it goes through the balancer to the others.
 * https://learn.microsoft.com/azure/load-balancer/load-balancer-troubleshoot-backend-traffic
 */
const LOOPBACK = `#!/bin/sh
set -eu
cat > /usr/local/sbin/clouder-api-loopback <<'END'
#!/bin/bash
set -u
while :; do
  if timeout 2 bash -c '</dev/tcp/127.0.0.1/6443' 2> /dev/null; then
    ip address replace @API_ADDRESS@/32 dev lo
  else
    ip address delete @API_ADDRESS@/32 dev lo 2> /dev/null
  fi
  sleep 2
done
END
chmod 0755 /usr/local/sbin/clouder-api-loopback
cat > /etc/systemd/system/clouder-api-loopback.service <<'END'
[Unit]
Description=Answer for the address of the API while the API server of this machine listens
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/sbin/clouder-api-loopback
ExecStopPost=-/sbin/ip address delete @API_ADDRESS@/32 dev lo
Restart=always
RestartSec=2

[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now clouder-api-loopback.service
`

const BOUNDARY = '==clouder=='

/** cloud-init of a worker or jump host, as Azure takes it. */
export function workerData(cloudInit: string): string {
  return base64(cloudInit)
}

/** cloud-init of a control plane: the same, and what keeps its own API within reach. */
export function controlPlaneData(cloudInit: string, apiAddress: string): string {
  const parts = [
    // cloud-init looks at plain text itself and finds out what it is.
    part('text/plain', cloudInit),
    part('text/x-shellscript', LOOPBACK),
  ]
  const message = [
    `Content-Type: multipart/mixed; boundary="${BOUNDARY}"`,
    'MIME-Version: 1.0',
    '',
    ...parts,
    `--${BOUNDARY}--`,
    '',
  ].join('\n')
  // Only Terraform knows the address; in base64 it finds nothing of its own language in the text.
  return Fn.base64encode(Fn.replace(Fn.base64decode(base64(message)), '@API_ADDRESS@', apiAddress))
}

function part(contentType: string, text: string): string {
  return [`--${BOUNDARY}`, `Content-Type: ${contentType}; charset="utf-8"`, '', text].join('\n')
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}
