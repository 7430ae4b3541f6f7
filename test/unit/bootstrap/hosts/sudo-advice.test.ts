import {expect, test} from 'vitest'
import {sudoAdvice} from '../../../../src/bootstrap/hosts/sudo-advice.ts'

test.for([
  ['sudo: sorry, you must have a tty to run sudo', '!requiretty'],
  [
    'sudo: Account or password is expired, reset your password and try again\nsudo: a password is required',
    'chage',
  ],
  ['/bin/sh: 1: exec: sudo: not found', 'apt-get install sudo'],
  ["env: 'sudo': No such file or directory", 'apt-get install sudo'],
  ['me is not in the sudoers file.', 'NOPASSWD: ALL'],
  ['Sorry, user me may not run sudo on cp-1.', 'NOPASSWD: ALL'],
  ['sudo: 1 incorrect password attempt', 'correct the password'],
  ['sudo: a password is required', 'sudoPassword'],
  ['', 'sudoPassword'],
] as const)('for a sudo that says %j the advice is what helps there', ([said, fix]) => {
  expect(sudoAdvice(said, 'me', 'cp-1').join('\n')).toContain(fix)
})
