# Atelier as one image for every role: the command says which (serve, serve --no-worker, worker, migrate, ...).
# What it keeps is in /data (the embedded way to run) or in PostgreSQL and the object store; the rest may be read-only.

FROM node:24-slim AS graphiql
WORKDIR /build
COPY web/graphiql/package.json web/graphiql/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY web/graphiql ./
RUN npm run build

FROM python:3.11-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt ./
RUN /opt/venv/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.11-slim-bookworm
WORKDIR /srv/atelier
RUN useradd --system --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin atelier
COPY --from=packages /opt/venv /opt/venv
COPY main.py ./
COPY app app
COPY domain domain
COPY engine engine
COPY graph graph
COPY migrations migrations
COPY providers providers
COPY storage storage
COPY web/graphiql/plain web/graphiql/plain
COPY --from=graphiql /build/dist web/graphiql/dist
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN python -m compileall -q .
ENV ATELIER_DATA_DIR=/data HOST=0.0.0.0 LOG_FORMAT=json METRICS_HOST=0.0.0.0 METRICS_PORT=9100
USER 10001
VOLUME /data
EXPOSE 8000 9100
STOPSIGNAL SIGTERM
# Whether the process answers; whether it is ready is /readyz, for who sends it requests.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen(f'http://127.0.0.1:{os.environ[\"METRICS_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["python", "main.py"]
CMD ["serve"]
