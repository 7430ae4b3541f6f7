// (h) what the program that measures and those that call have in common.
import {z} from 'zod'

/** clouder with a kubeconfig that it wrote, with one of others, and what it is compared with. */
export const clientNameSchema = z.enum(['clouder', 'foreign', 'clientNode', 'https'])
export type ClientName = z.output<typeof clientNameSchema>

export const NODE_NAME = 'worker-1'
/** In the certificate of the server. */
export const SERVER_NAME = 'kubernetes'
