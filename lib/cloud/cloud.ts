/** What a cloud gives for one of its registries. */
export interface Grant {
  /** The step that it comes by, in words for people: "web identity". */
  readonly by: string;
  readonly secret: { readonly user: string; readonly password: string } | { readonly refreshToken: string };
  /** In milliseconds from now; undefined where nobody knows. */
  readonly livesMs: number | undefined;
}

/** A cloud whose registries one signs in to with what the machine, or the environment, has. */
export interface Cloud {
  /**
   * Signs in to a registry, anew each time; what leads there is shared while it is good. Throws a SignInFailure, whose
   * words hold nothing of a credential, or the signal's reason.
   */
  signIn(registry: string): Promise<Grant>;
}
