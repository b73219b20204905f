import type { ProofFailure, Provable, ProveOptions } from '../../../../src/testing/index.ts'
import { ProofFailed, prove } from '../../../../src/testing/index.ts'

/** What `prove` throws of an application that is mistaken. A certificate is an error here. */
export async function failureOf(application: Provable, options: ProveOptions): Promise<ProofFailure> {
  try {
    const { text } = await prove(application, options)
    throw new Error(`Nothing was found. ${text}`)
  } catch (error) {
    if (error instanceof ProofFailed) return error.failure
    throw error
  }
}
