"""uvicorn's WebSocket, but at shutdown it says 1001 (going away), which the SDKs take for a quiet end."""

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GOING_AWAY = 1001


class GoingAwayProtocol(WebSocketsSansIOProtocol):
    """uvicorn closes sockets before the application hears of the shutdown, with 1012: Python's SDK raises."""

    def shutdown(self) -> None:
        """Called by uvicorn for each open connection when the server stops."""
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": GOING_AWAY})
            self.conn.send_close(GOING_AWAY)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        super().shutdown()
