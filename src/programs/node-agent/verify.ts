import {VERIFY_ANNOTATION} from '../../api/names.ts'
import {verifyCheckpoint} from '../../checkpoint/sealed/verify.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {digestSchema} from '../../api/sealed-checkpoint.ts'
import type {Named} from './checkpoint-object.ts'
import type {AgentTools} from './tools.ts'
import {writeOwn} from './write-status.ts'

/** Reads it back from its store and checks it again, once per value of the annotation. */
export async function verifyAsked(
  checkpoint: Named,
  tools: Pick<AgentTools, 'stores' | 'ciphers' | 'kube' | 'now' | 'signal'>,
): Promise<void> {
  const {now} = tools
  const {metadata, status = {}} = checkpoint
  const asked = metadata.annotations?.[VERIFY_ANNOTATION]
  if (asked === undefined || asked === status.verification?.request) return
  const outcome = await verifyStored(checkpoint, tools)
  const verification = {request: asked, checkTime: new Date(now()).toISOString(), reason: null, ...outcome}
  await writeOwn(checkpoint, {verification}, tools, ({digest}) => digest === status.digest)
}

async function verifyStored(
  {spec, status = {}}: Named,
  {stores, ciphers, signal}: Pick<AgentTools, 'stores' | 'ciphers' | 'signal'>,
): Promise<{ok: boolean; message: string; reason?: string}> {
  try {
    const {blobs, keys} = await stores.open(spec.storeName, {signal})
    const digest = digestSchema.parse(status.digest)
    const {blobs: count, storedBytes} = await verifyCheckpoint({
      store: blobs,
      digest,
      trust: keys.trust,
      keys: keys.wrappers,
      ciphers,
      signal,
    })
    return {
      ok: true,
      message: `${count} pieces (${storedBytes} bytes) are intact, and the signature is valid`,
    }
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error
    return {ok: false, message: error.message, reason: error.code}
  }
}
