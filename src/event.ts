/** What goes on in the background, for logs and alerts. */
export interface AppEvent {
  readonly kind:
    | 'attempt-failed'
    | 'attention'
    | 'fenced'
    | 'taken-over'
    | 'assigned'
    | 'released'
    | 'database-error'
    | 'window-shrunk'
    | 'schedule-failed'
    /** The broker will never take a message of the outbox (`id`): it stays there, and `status` counts it. Told once. */
    | 'outbox-refused'
    /** The database has been moved away: this app's consumers have stopped. Told once. */
    | 'moved'
  readonly topic?: string | undefined
  readonly group?: string | undefined
  readonly partition?: string | undefined
  /** Of the message. */
  readonly id?: string | undefined
  readonly source?: string | undefined
  readonly message: string
  readonly error?: unknown
}
