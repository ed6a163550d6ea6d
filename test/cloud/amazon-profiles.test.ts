import { expect, describe as group, test } from "bun:test";
import {
  amazonScene,
  ecr,
  keyId,
  keysJson,
  keysXml,
  machine,
  machineAnswers,
  password,
  pod,
  role,
  secret,
  session,
  sts,
  tokenAnswer,
} from "../support/amazon-scene.ts";
import { type Answers, amazonSignature } from "../support/clouds.ts";
import { type TempDir, type Tree, tempDir } from "../support/harness.ts";

const scene = amazonScene();
const own = `aws_access_key_id = ${keyId}\naws_secret_access_key = ${secret}\n`;
const all: Answers = { [sts]: keysXml, [ecr]: tokenAnswer };
const usable = { login: `AWS:${password}`, source: "Amazon ECR, profile", warnings: [] };

group("a profile in Amazon's shared files", () => {
  test.each<[what: string, tree: Tree, env: Record<string, string>]>([
    ["default, in the file of credentials", { ".aws/credentials": `# mine\n[default]\r\n${own}` }, {}],
    ["default, in the configuration", { ".aws/config": `[default]\n${own}s3 =\n  aws_access_key_id = no\n` }, {}],
    ["that is named", { ".aws/credentials": `[default]\n[ builds ]\n${own}` }, { AWS_PROFILE: "builds" }],
    ["that is named, in quotes", { ".aws/config": `[profile "two words"]\n${own}` }, { AWS_PROFILE: "two words" }],
    [
      "in both: the file of credentials counts",
      { ".aws/config": "[profile x]\naws_access_key_id=other\n", ".aws/credentials": `[x]\n${own}` },
      { AWS_PROFILE: "x" },
    ],
  ])("%s", async (_, tree, env) => {
    expect(await scene.signIn(all, env, tree)).toMatchObject(usable);
    expect(scene.clouds.asked()).toEqual([ecr]);
    const [request] = scene.clouds.requests;
    expect(request && request.headers.authorization === amazonSignature(request, secret)).toBe(true);
    expect(request?.headers.authorization).toContain(`=${keyId}/`);
  });

  test("may lie elsewhere", async () => {
    const env = (home: TempDir) => ({ AWS_SHARED_CREDENTIALS_FILE: home.join("a"), AWS_CONFIG_FILE: home.join("b") });
    const tree = { a: `[builds]\n${own}`, b: "[default]\nrole_arn = r\nsource_profile = builds\n" };
    expect(await scene.signIn(all, env, tree)).toMatchObject(usable);
  });

  test("may have a role by another profile's keys, in a region of its own", async () => {
    const config = `[profile builds]\nrole_arn = ${role}\nsource_profile = base\nexternal_id = ext\nrole_session_name = me\nregion = us-east-2\n`;
    const tree = { ".aws/config": config, ".aws/credentials": `[base]\n${own}` };
    const other = "POST sts.us-east-2.amazonaws.com/";
    expect(await scene.signIn({ ...all, [other]: keysXml }, { AWS_PROFILE: "builds" }, tree)).toMatchObject(usable);
    expect(scene.clouds.asked()).toEqual([other, ecr]);
    const [request, last] = scene.clouds.requests;
    expect(request?.form).toEqual({
      Action: "AssumeRole",
      Version: "2011-06-15",
      RoleArn: role,
      RoleSessionName: "me",
      ExternalId: "ext",
    });
    expect(request && request.headers.authorization === amazonSignature(request, secret)).toBe(true);
    expect(request?.headers.authorization).toContain("/us-east-2/sts/aws4_request");
    expect(last?.headers["x-amz-security-token"]).toBe(session);
  });

  test("may be its own source", async () => {
    const tree = { ".aws/credentials": `[default]\nrole_arn = ${role}\nsource_profile = default\n${own}` };
    expect(await scene.signIn(all, {}, tree)).toMatchObject(usable);
    expect(scene.clouds.asked()).toEqual([sts, ecr]);
  });

  test("may have a role by a web identity", async () => {
    using place = tempDir("token", { token: "t0ken-of-a-provider" });
    const config = `[default]\nrole_arn = ${role}\nweb_identity_token_file = ${place.join("token")}\n`;
    expect(await scene.signIn(all, {}, { ".aws/config": config })).toMatchObject(usable);
    expect(scene.clouds.requests[0]?.form["WebIdentityToken"]).toBe("t0ken-of-a-provider");
  });

  test.each<[source: string, answers: Answers]>([
    ["EcsContainer", { "GET local/v1/credentials": { json: keysJson } }],
    ["Ec2InstanceMetadata", machineAnswers],
  ])("may have a role by keys of %s", async (source, answers) => {
    const tree = { ".aws/config": `[profile x]\nrole_arn = ${role}\ncredential_source = ${source}\n` };
    const { AWS_CONTAINER_CREDENTIALS_FULL_URI } = pod(scene.clouds);
    const env = {
      AWS_PROFILE: "x",
      ...(source === "EcsContainer" ? { AWS_CONTAINER_CREDENTIALS_FULL_URI } : {}),
      ...(source === "Ec2InstanceMetadata" ? machine(scene.clouds) : {}),
    };
    expect(await scene.signIn({ ...all, ...answers }, env, tree)).toMatchObject(usable);
    expect(scene.clouds.asked()).toEqual([...Object.keys(answers), sts, ecr]);
  });

  test("comes after keys of the environment, also where it would take a role by them", async () => {
    const tree = { ".aws/config": `[profile x]\nrole_arn = ${role}\ncredential_source = Environment\n` };
    const env = { AWS_PROFILE: "x", AWS_ACCESS_KEY_ID: keyId, AWS_SECRET_ACCESS_KEY: secret };
    expect(await scene.signIn(all, env, tree)).toMatchObject({ ...usable, source: "Amazon ECR, environment" });
  });

  test("that holds only a region is passed by, and what comes after it is asked", async () => {
    const tree = { ".aws/config": "[profile x]\nregion = eu-west-1\n" };
    const answers = { ...all, "GET local/v1/credentials": { json: keysJson } };
    const found = await scene.signIn(answers, { AWS_PROFILE: "x", ...pod(scene.clouds) }, tree);
    expect(found).toMatchObject({ ...usable, source: "Amazon ECR, container" });
  });

  test.each<[what: string, text: string, said: string]>([
    ["that is not there", "[default]\n", 'there is no profile "x", which AWS_PROFILE names'],
    [
      "with a source that is not set up",
      `[profile x]\nrole_arn = ${role}\ncredential_source = Environment\n`,
      "has credential_source = Environment, but AWS_ACCESS_KEY_ID is not set",
    ],
    ["with half a key", "[profile x]\naws_access_key_id = a\n", 'the profile "x" has no aws_secret_access_key'],
    [
      "with SSO",
      "[profile x]\nsso_session = s\n",
      'the profile "x" uses sso_session, which the restorer does not know',
    ],
    ["with a process", "[profile x]\ncredential_process = sh\n", "uses credential_process, which"],
    ["with a role alone", `[profile x]\nrole_arn = ${role}\n`, "has a role_arn, but no source_profile or"],
    ["that leads nowhere", `[profile x]\nrole_arn = ${role}\nsource_profile = y\n`, 'there is no profile "y"'],
    [
      "that leads in a circle",
      `[profile x]\nrole_arn = ${role}\nsource_profile = y\n[profile y]\nrole_arn = ${role}\nsource_profile = x\n`,
      "is at the end of too many source_profile",
    ],
  ])("%s ends the chain", async (_, text, said) => {
    const found = await scene.signIn(all, { AWS_PROFILE: "x" }, { ".aws/config": text });
    expect(found.kind).toBe("anonymous");
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toContain(said);
    expect(scene.clouds.asked()).toEqual([]);
  });
});
