import type { Envelope } from '../message.ts'
import type { AnyTopic } from '../topic.ts'

/** A message that a handler published. */
export interface Outgoing {
  readonly topic: AnyTopic
  readonly envelope: Envelope
  /** Identity of the message whose handler it was. */
  readonly cause: string | undefined
}
