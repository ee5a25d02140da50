# One image; the command picks the role.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/optimizer \
 && /opt/optimizer/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY config config
COPY migrations migrations
COPY optimizer optimizer
RUN /opt/optimizer/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /data optimizer
COPY --from=build /opt/optimizer /opt/optimizer
ENV PATH=/opt/optimizer/bin:$PATH OPTIMIZER_DATA_DIR=/data OPTIMIZER_HOST=0.0.0.0
USER optimizer
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["optimizer"]
CMD ["serve"]
