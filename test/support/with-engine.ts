import {homedir} from 'node:os'
import {join} from 'node:path'
import type {TestContext} from 'vitest'
import {connectEngine} from '../../src/infrastructure/containers/connect.ts'
import type {ContainerEngine} from '../../src/infrastructure/containers/container-engine.ts'
import {InfrastructureError} from '../../src/infrastructure/errors.ts'
import {localProvider, type LocalProviderOptions} from '../../src/infrastructure/providers/local.ts'
import type {Provider} from '../../src/infrastructure/providers/provider.ts'
import {createRenderer} from '../../src/bootstrap/templating/render.ts'

const environment = process.env

/** Ends the test as skipped, with the reason, where no engine answers; as failed where every test must run. */
export async function needEngine(context: TestContext): Promise<ContainerEngine> {
  try {
    return await connectEngine({engine: 'auto', environment, signal: context.signal})
  } catch (error) {
    if (!(error instanceof InfrastructureError) || environment['CLOUDER_REQUIRE_E2E'] === '1') throw error
    return context.skip(error.message)
  }
}

/** What the commands give the local provider, with the node images of the user's own cache. */
export function localOptions(): LocalProviderOptions {
  return {
    engineFor: (engine, signal) => connectEngine({engine, environment, signal}),
    renderer: createRenderer(join(import.meta.dirname, '../../templates')),
    cacheDir: join(environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clouder'),
    environment,
  }
}

/** The local provider on this machine's engine. */
export function localProviderHere(): Provider {
  return localProvider(localOptions())
}
