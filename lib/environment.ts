/** The variables of the process, as the edge hands them on. */
export type Environment = Readonly<Record<string, string | undefined>>;
