/** An environment variable that no flag stands for. */
export interface Variable {
  readonly default?: string;
  readonly description: string;
}

/** The variables without a flag, beside those of the flags: what reads them may lie in other rooms. */
export const variables = {
  CNB_PLATFORM_API: {
    description: "Platform API to follow, from 0.7 to 0.15; the newest, with a warning, when it is not set",
  },
  CNB_EXEC_ENV: {
    default: "production",
    description: "execution environment of this build",
  },
  CNB_REGISTRY_AUTH: {
    description: "credentials as JSON: a Basic, Bearer or X-Identity header for each registry",
  },
  CNB_REGISTRY_AUTH_FILE: { description: "file of credentials, like docker's config.json" },
  DOCKER_CONFIG: { default: "~/.docker", description: "directory of docker's config.json" },
  REGISTRY_AUTH_FILE: { description: "podman's auth.json; used where docker has no config.json" },
  CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_AMAZON: {
    description: "true: no sign-in to Amazon ECR with what the environment or the machine has",
  },
  CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_AZURE: { description: "the same for Azure ACR" },
  CNB_REGISTRY_AUTH_KEYCHAIN_SKIP_GOOGLE: { description: "the same for Google's registries" },
  DOCKER_HOST: {
    default: "unix:///var/run/docker.sock",
    description: "address of the Docker daemon, for -daemon",
  },
  HTTPS_PROXY: { description: "proxy for https; HTTP_PROXY is the one for http" },
  NO_PROXY: { description: "hosts, domains and networks to reach without a proxy" },
  SSL_CERT_FILE: { description: "certificates to trust besides those built in, instead of the system's" },
  SSL_CERT_DIR: { description: "directories of further certificates to trust" },
} as const satisfies Record<string, Variable>;
