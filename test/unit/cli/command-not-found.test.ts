import {expect, test} from 'vitest'
import {commandMeant} from '../../../src/cli/command-not-found.ts'

const NAMES = [
  'doctor',
  'kubectl',
  'kubeadm info',
  'kubeadm init',
  'kubeadm join',
  'checkpoint migrate',
  'checkpoint ls',
  'node drain',
]

test.each([
  [['kubeadm', 'innit'], 'kubeadm init'],
  [['kubeadm', 'inti'], 'kubeadm init'],
  [['kubeadn', 'init', 'demo'], 'kubeadm init'],
  [['chekpoint', 'ls'], 'checkpoint ls'],
  [['checkpoint', 'migrat', 'web', 'worker-1'], 'checkpoint migrate'],
  [['docter'], 'doctor'],
  [['docter', 'demo'], 'doctor'],
  [['nodes'], 'node'],
  [['kubectk', 'get'], 'kubectl'],
  [['kubeadm', 'explode'], undefined],
  [['x'], undefined],
  [['terraform'], undefined],
])('%j means %s', (words, meant) => {
  expect(commandMeant(words, NAMES)).toBe(meant)
})
