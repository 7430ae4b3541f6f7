/**
 * Why sudo let nobody become root, by what it says in the C locale: it has no exit codes for that. Only the advice hangs
 * on it. Order matters: an expired password also makes it ask for one.
 */
const causes: readonly {
  readonly says: RegExp
  readonly fix: (user: string, host: string) => readonly string[]
}[] = [
  {
    says: /password is expired|expired password|password has expired|token is no longer valid/i,
    fix: (user, host) => [
      `on ${host}, set a new password: passwd ${user}; or let it never expire: chage -M -1 ${user}`,
    ],
  },
  {
    says: /must have a tty/,
    fix: (user, host) => [
      `on ${host}: echo 'Defaults:${user} !requiretty' >/etc/sudoers.d/clouder-tty, or remove requiretty from /etc/sudoers`,
    ],
  },
  {
    says: /sudo.*(not found|No such file)/,
    fix: (_user, host) => [
      `on ${host}, as root: apt-get install sudo; or log in as root: ssh.user in the file`,
    ],
  },
  {
    says: /not in the sudoers file|may not run sudo|is not allowed to (run|execute)/,
    fix: (user, host) => [
      `on ${host}, as root: echo '${user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/clouder`,
      'or log in as another user: ssh.user in the file',
    ],
  },
  {
    says: /incorrect password|Sorry, try again/,
    fix: (user) => [`correct the password that sudoPassword refers to; it is the login password of ${user}`],
  },
]

/** What to do about a refusal of sudo. */
export function sudoAdvice(said: string, user: string, host: string): readonly string[] {
  const cause = causes.find(({says}) => says.test(said))
  return (
    cause?.fix(user, host) ?? [
      `let ${user} use sudo without a password: echo '${user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/clouder`,
      'or set the password: sudoPassword: {env: NAME} or {file: PATH} under ssh of the host',
    ]
  )
}
