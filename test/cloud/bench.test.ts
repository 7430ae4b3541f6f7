import {expect, test} from 'vitest'
import {figureOf} from '../bench/measurements.ts'
import {againstTerraform} from '../bench/apply.ts'
import {needAwsProvider} from '../support/aws-provider.ts'

test('benchmark f in its smallest form ends with a figure', async (context) => {
  await needAwsProvider(context)
  const bench = {signal: context.signal, tell: () => undefined}
  const figure = figureOf('f', await againstTerraform({pairs: 1, workers: 1}, bench))
  // Below nothing, where clouder took less than a tenth more than Terraform alone.
  expect(figure).toSatisfy(Number.isFinite)
})
