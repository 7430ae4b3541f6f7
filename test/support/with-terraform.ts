import type {TestContext} from 'vitest'
import {TerraformError} from '../../src/terraform/errors.ts'
import {identifyProcess} from '../../src/base/process-identity.ts'
import {terraformBinary, type BinaryOptions} from '../../src/terraform/binary.ts'
import {findProgram} from '../../src/terraform/program.ts'
import type {Terraform} from '../../src/terraform/types.ts'

/** This machine's Terraform in a folder. Throws TerraformError TERRAFORM_MISSING. */
export async function terraformIn(
  dir: string,
  options: Partial<BinaryOptions> = {},
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Terraform> {
  return terraformBinary({
    program: await findProgram(environment, AbortSignal.timeout(30_000)),
    dir,
    environment,
    identify: identifyProcess,
    hostname: 'laptop',
    onNote: () => undefined,
    log: () => undefined,
    ...options,
  })
}

/** The same, or a skip that says why. */
export async function terraformOrSkip(
  dir: string,
  context: TestContext,
  options: Partial<BinaryOptions> = {},
): Promise<Terraform> {
  try {
    return await terraformIn(dir, options)
  } catch (error) {
    if (!(error instanceof TerraformError) || process.env.CLOUDER_REQUIRE_E2E === '1') throw error
    return context.skip(error.message)
  }
}
