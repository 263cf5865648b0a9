"""Foreign text in the engine's log and in errors is inert: no command of a build agent, no secret."""

from __future__ import annotations

import grpc.aio
import pytest
from pulumi.runtime.proto import engine_pb2_grpc

from imagefactory.copying.copier import CopyError
from providers.vhdcopy.progress import EngineLog
from providers.vhdcopy.server import _message
from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.vhdcopy.plugin import EngineLogSink

HOSTILE = f"a\n{SET_VARIABLE}\r\n ::add-mask::b \x1b[2J HTTPS://x/c?sig=AbC&comp=list c/b?sv=1&sig=AbC"


def is_harmless(text: str) -> bool:
    """Whether it has no command, no control character and no secret, and is still readable."""
    return not agent_commands(text) and "AbC" not in text and "\x1b" not in text and "task.setvariable" in text


async def test_messages_in_the_engines_log_are_inert() -> None:
    """For every kind of message."""
    sink, engine = EngineLogSink(), grpc.aio.server()
    engine_pb2_grpc.add_EngineServicer_to_server(sink, engine)
    log = EngineLog(f"127.0.0.1:{engine.add_insecure_port('127.0.0.1:0')}")
    await engine.start()
    log.show("urn:x", HOSTILE)
    await log.warn("urn:x", HOSTILE)
    await log.note(HOSTILE)
    await log.close()
    await engine.stop(None)
    assert len(sink.messages) == 3 and all(map(is_harmless, sink.messages))


@pytest.mark.parametrize("error", [CopyError(HOSTILE), ValueError(HOSTILE)])
def test_the_reason_of_a_failed_operation_is_inert(error: Exception) -> None:
    """For expected errors and for unexpected ones."""
    assert is_harmless(_message(error))
