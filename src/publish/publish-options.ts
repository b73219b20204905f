import type { PublishInsideOptions } from '../consume/consume-options.ts'

export interface PublishOptions extends PublishInsideOptions {
  /** Stops waiting; a message already handed to the database may still be accepted (`outcome` says so). */
  readonly signal?: AbortSignal
}

export interface PublishManyItem<Input> extends PublishInsideOptions {
  readonly data: NoInfer<Input>
}
