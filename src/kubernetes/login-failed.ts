import {KubernetesError} from './errors.ts'

/** A context of a kubeconfig leads to no credential. API_LOGIN_FAILED; the problem quotes no secret. */
export const loginFailed = (context: string, problem: string): KubernetesError =>
  new KubernetesError(
    'API_LOGIN_FAILED',
    `cannot log in with context ${context} of the kubeconfig: ${problem}`,
    {suggestions: [`kubectl --context ${context} auth whoami`]},
  )
