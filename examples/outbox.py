"""A request that is sent if, and only if, your own transaction commits.

    llmreq worker &
    python examples/outbox.py

`connection=` takes a SQLAlchemy Session or Connection, a psycopg connection, or Django's connection or cursor: the request is
then one more row of that transaction. No broker can be told of an order that was rolled back, or miss one that was not.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from llmreq import Client
from llmreq.database.connection import database_url, sqlalchemy_url
from llmreq.settings import load_settings


class Base(DeclarativeBase):
    pass


class Ticket(Base):
    """Your own table; `request_id` leads to the answer."""

    __tablename__ = "example_tickets"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    request_id: Mapped[uuid.UUID | None]


url = database_url(load_settings())  # your application has its own
engine = sa.create_engine(sqlalchemy_url(url))
Base.metadata.create_all(engine)
client = Client(url)


def report(session: Session, text: str) -> Ticket:
    """A new ticket, and the request that will sort it."""
    ticket = Ticket(text=text)
    session.add(ticket)
    session.flush()
    ticket.request_id = client.enqueue(
        content=f"One word for what this is about: {text}", context={"ticket": ticket.id}, connection=session
    )
    return ticket


with Session(engine) as session:
    report(session, "Never mind.")
    session.rollback()  # neither ticket nor request

with Session(engine) as session:
    report(session, "The crane is stuck.")
    session.commit()  # both

with Session(engine) as session:
    tickets = session.scalars(sa.select(Ticket).where(Ticket.request_id.is_not(None))).all()
    for request in client.stream([ticket.request_id for ticket in tickets if ticket.request_id is not None]):
        print(f"ticket {request.context['ticket']}: {request.response}")
