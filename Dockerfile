# Both programs, each an image: the runtime, the sources, nothing else.
#
#     docker build --target centauri --tag centauri .
#     docker build --target dotege --tag dotege .
#
# They run as user 65532, and want neither capabilities nor a writable root: examples/compose.yaml.
ARG RUNTIME=node:24-slim
FROM ${RUNTIME} AS centauri
COPY package.json centauri.ts /app/
COPY lib /app/lib/
ENV CONFIG=/centauri.conf CERTIFICATE_STORE=/data/certs.json USER_DATA=/data/user.pem \
  NODE_COMPILE_CACHE=/app/cache
# What Node makes of the sources is made now; nobody who runs may write it.
RUN CONFIG=/dev/null node /app/centauri.ts --validate --certificate-store /tmp/certs.json && \
  chmod -R a+rX /app && mkdir -m 700 /data && chown 65532:65532 /data
USER 65532:65532
VOLUME /data
EXPOSE 8080 8443
ENTRYPOINT ["node", "/app/centauri.ts"]

FROM ${RUNTIME} AS dotege
COPY package.json dotege.ts /app/
COPY lib /app/lib/
COPY templates /templates/
ENV NODE_COMPILE_CACHE=/app/cache
RUN node /app/dotege.ts --help && \
  chmod -R a+rX /app && mkdir /data /data/config /data/certs /data/output && chown -R 65532:65532 /data
# Give it the group that may use the Docker socket: --group-add.
USER 65532:65532
VOLUME /data/config /data/certs /data/output
ENTRYPOINT ["node", "/app/dotege.ts"]
