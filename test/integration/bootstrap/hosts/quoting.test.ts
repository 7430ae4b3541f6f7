import {execFileSync} from 'node:child_process'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {quoteArgv} from '../../../../src/base/quoting.ts'
import {anyText} from '../../../support/any-text.ts'

// A lone surrogate has no UTF-8 form: no program can get it, quoted or not.
const word = fc
  .oneof(anyText(), fc.string({unit: fc.constantFrom(...Array.from('\'"\\$`!*?~#&|;<>(){}[]= \t\n-%aö'))}))
  .map((text) => text.replaceAll('\0', '').toWellFormed())

test.for(['/bin/sh', '/bin/bash'])('any words come back from %s as they went in', (shell) => {
  fc.assert(
    fc.property(
      fc.array(fc.array(word, {minLength: 1, maxLength: 5}), {minLength: 1, maxLength: 40}),
      (commands) => {
        const script = commands
          .map((words) => `printf '%s\\0' ${quoteArgv(['--', ...words]).slice(3)}`)
          .join('\n')
        const out = execFileSync(shell, {input: script, encoding: 'utf8'})
        expect(out.split('\0').slice(0, -1)).toEqual(commands.flat())
      },
    ),
    {numRuns: 60},
  )
})
